"""What the API's description shows: what is sent, and what is answered. A test holds it against the schemas."""
