"""The paper's figures, and what one looks at in a trained model; each is one function that writes PNG, SVG or PDF."""
