        .intel_syntax noprefix
        .globl  main

        .bss
name:   .skip   80

        .data
input:  .asciz  "%79s"
format: .asciz  "Hello, %s!\n"

        .text
main:   sub     rsp, 8
        lea     rdi, input
        lea     rsi, name
        xor     eax, eax
        call    scanf
        lea     rdi, format
        lea     rsi, name
        xor     eax, eax
        call    printf
        xor     eax, eax
        add     rsp, 8
        ret

        .section .note.GNU-stack, "", @progbits
