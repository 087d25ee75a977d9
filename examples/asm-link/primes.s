; Prints the primes below 256, found with a sieve. One of two modules; the other prints.

        .import   print_number, print_end, exit
        .importzp stack

COUNT = 256

        .segment "HEADER"               ; what sim65 wants in front of a program
        .byte     "sim65", 2, 0         ; magic, version, a plain 6502
        .byte     <stack                ; where the zero page holds the parameter stack
        .addr     start, start          ; load address and entry

        .segment "BSS"
sieve:  .res      COUNT

        .segment "ZEROPAGE"
prime:  .res      1

        .segment "CODE"
start:  cld
        ldx       #$FF
        txs
        ldx       #0
        txa
clear:  sta       sieve,x               ; 0: may be prime
        inx
        bne       clear

        ldx       #2
next:   stx       prime
        lda       sieve,x
        bne       skip
        txa
        jsr       print_number
        lda       prime
strike: clc                             ; strike out the multiples
        adc       prime
        bcs       skip
        tax
        inc       sieve,x
        jmp       strike
skip:   ldx       prime
        inx
        bne       next

        jsr       print_end
        lda       #0
        jmp       exit
