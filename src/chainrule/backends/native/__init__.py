"""Programs of ``chainrule.trace`` as machine code for this processor, through LLVM."""
