"""What the product costs beside independent libraries, measured side by side in one run."""
