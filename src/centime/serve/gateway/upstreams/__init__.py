"""The servers behind the gateway: how each is asked, what its time is, and which of them a request goes to."""
