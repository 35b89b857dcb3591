"""The paper's experiments: its tables and figures as commands, and the page that reports them."""
