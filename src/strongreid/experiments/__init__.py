"""The paper's experiments as commands: plans of cells, bookkeeping, tables with honest error bars; figures."""
