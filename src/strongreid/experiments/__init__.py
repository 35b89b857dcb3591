"""The paper's experiments as commands: plans of cells, their bookkeeping, tables with honest error bars."""
