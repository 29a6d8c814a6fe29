"""HTTP requests that several brokers answer."""
