"""What the two test doubles share: the one in this process (`providers.fake`) and the server (`providers.fake_server`)."""
