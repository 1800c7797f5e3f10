module example.org/genai-spine/ask

go 1.24

require github.com/twmb/franz-go v1.20.0
