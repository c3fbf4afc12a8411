"""The consumer's page: server-rendered, Hindi and English, complete without JavaScript."""
