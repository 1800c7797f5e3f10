"""`genai-spine replay`: requests of before, sent again as they were, answered again from the record, or asked anew beside."""
