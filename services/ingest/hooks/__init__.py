"""What stands behind CDS Hooks: the request, what was delivered with it, the orders, the cards, and what is kept of them."""
