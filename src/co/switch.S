/* switch.S - weft__switch for x86-64 and aarch64; see switch.h.
 *
 * What lies on the stack of a context that is not running, from its saved stack pointer upward:
 *   x86-64    mxcsr and x87 control (8 bytes), r15 r14 r13 r12 rbx rbp, return address           64 bytes
 *   aarch64   x19 ... x28, x29 x30, d8 ... d15, fpcr                                             176 bytes
 * The return is a `ret`, though the call that it answers was made elsewhere: processors foretell returns by a stack of
 * the calls they saw, and contexts that give way at the same place were called from the same places. A jump leaves that
 * stack one too high, so that every return up to the program's own function is foretold wrongly: a third of what it
 * takes to sleep and be woken.
 * Call frame information holds at every instruction, on either stack, so debuggers and unwinders see through it; they
 * stop at weft__switch_entry, whose return address is undefined. */

#if !defined(WEFT_UCONTEXT) && defined(__x86_64__)

        .text
        .globl  weft__switch
        .hidden weft__switch
        .type   weft__switch, @function
        .balign 32
weft__switch:                           /* rdi: where to save, rsi: where to go on */
        .cfi_startproc
        endbr64
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movl    (%rsp), %eax
        movzwl  4(%rsp), %edx
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp
        xorl    (%rsp), %eax
        testl   $0xffc0, %eax           /* control bits only: the sticky exception flags need no preserving, and they */
        jne     2f                      /* differ as soon as anybody computes; ldmxcsr costs 60 ns */
1:      cmpw    4(%rsp), %dx
        jne     3f
4:      movq    8(%rsp), %r15
        movq    16(%rsp), %r14
        movq    24(%rsp), %r13
        movq    32(%rsp), %r12
        movq    40(%rsp), %rbx
        movq    48(%rsp), %rbp
        addq    $56, %rsp
        .cfi_remember_state
        .cfi_def_cfa %rsp, 8
        .cfi_same_value %rbp
        .cfi_same_value %rbx
        .cfi_same_value %r12
        .cfi_same_value %r13
        .cfi_same_value %r14
        .cfi_same_value %r15
        ret
        .cfi_restore_state
2:      ldmxcsr (%rsp)
        jmp     1b
3:      fldcw   4(%rsp)
        jmp     4b
        .cfi_endproc
        .size   weft__switch, . - weft__switch

        .globl  weft__switch_entry
        .hidden weft__switch_entry
        .type   weft__switch_entry, @function
        .balign 16
weft__switch_entry:                     /* rbx: function, r12: its argument; rsp is a multiple of 16 */
        .cfi_startproc
        .cfi_undefined %rip
        endbr64
        movq    %r12, %rdi
        call    *%rbx
        ud2
        .cfi_endproc
        .size   weft__switch_entry, . - weft__switch_entry

#elif !defined(WEFT_UCONTEXT) && defined(__aarch64__)

        .text
        .globl  weft__switch
        .hidden weft__switch
        .type   weft__switch, %function
        .balign 32
weft__switch:                           /* x0: where to save, x1: where to go on */
        .cfi_startproc
        hint    #34                     /* bti c */
        sub     sp, sp, #176
        .cfi_def_cfa_offset 176
        stp     x19, x20, [sp]
        stp     x21, x22, [sp, #16]
        stp     x23, x24, [sp, #32]
        stp     x25, x26, [sp, #48]
        stp     x27, x28, [sp, #64]
        stp     x29, x30, [sp, #80]
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        .cfi_offset x19, -176
        .cfi_offset x20, -168
        .cfi_offset x21, -160
        .cfi_offset x22, -152
        .cfi_offset x23, -144
        .cfi_offset x24, -136
        .cfi_offset x25, -128
        .cfi_offset x26, -120
        .cfi_offset x27, -112
        .cfi_offset x28, -104
        .cfi_offset x29, -96
        .cfi_offset x30, -88
        mrs     x9, fpcr
        str     x9, [sp, #160]
        mov     x10, sp
        str     x10, [x0]
        mov     sp, x1
        ldr     x10, [sp, #160]
        cmp     x9, x10
        b.ne    2f
1:      ldp     x19, x20, [sp]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        add     sp, sp, #176
        .cfi_remember_state
        .cfi_def_cfa sp, 0
        .cfi_restore x19
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore x29
        .cfi_restore x30
        ret
        .cfi_restore_state
2:      msr     fpcr, x10
        b       1b
        .cfi_endproc
        .size   weft__switch, . - weft__switch

        .globl  weft__switch_entry
        .hidden weft__switch_entry
        .type   weft__switch_entry, %function
        .balign 16
weft__switch_entry:                     /* x19: function, x20: its argument */
        .cfi_startproc
        .cfi_undefined x30
        hint    #38                     /* bti jc */
        mov     x0, x20
        blr     x19
        brk     #1
        .cfi_endproc
        .size   weft__switch_entry, . - weft__switch_entry

#endif

        .section .note.GNU-stack, "", %progbits
