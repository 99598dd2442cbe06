        .globl  main
main:   nonsense eax
        ret
