; Decimal numbers on standard output, through the calls that sim65 offers.

        .export   print_number, print_end, exit
        .exportzp stack

sim_write = $FFF7                       ; count in A and X; buffer and descriptor on the parameter stack
exit      = $FFF9                       ; status in A

        .segment "ZEROPAGE"
stack:  .res      2
digit:  .res      1

        .segment "DATA"
text:   .res      4                     ; at most three digits and a blank
parameters:
        .addr     text
        .word     1                     ; standard output

        .segment "RODATA"
tens:   .byte     100, 10, 1

        .segment "CODE"
; Prints A and a blank.
print_number:
        ldx       #0                    ; which power of ten
        ldy       #0                    ; length of the text
power:  pha
        lda       #'0'
        sta       digit
        pla
count:  cmp       tens,x
        bcc       put
        sbc       tens,x
        inc       digit
        bne       count
put:    pha
        lda       digit
        cpy       #0
        bne       store
        cpx       #2
        beq       store
        cmp       #'0'                  ; no leading zeros
        beq       after
store:  sta       text,y
        iny
after:  pla
        inx
        cpx       #3
        bne       power
        lda       #' '
        bne       finish

; Ends the line.
print_end:
        ldy       #0
        lda       #10
finish: sta       text,y
        iny
        lda       #<parameters
        sta       stack
        lda       #>parameters
        sta       stack+1
        tya
        ldx       #0
        jmp       sim_write
