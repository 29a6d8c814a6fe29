"""Objects of the broker as the API shows them."""
