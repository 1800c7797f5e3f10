// Ask asks GenAI Spine for a summary of each item and joins the answers by key.
//
//	cd examples/go && go run . 127.0.0.1:9092 ../feedspine/items.jsonl
//
// Items are JSON Lines with `key` and `text`. It writes one JSON line an item, when all of them are answered; exit code 1 if
// that takes longer than five minutes.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	requestTopic = "genai.requests.summarize"
	resultTopic  = "genai.results"
	tenant       = "examples-go"
	patience     = 5 * time.Minute
)

type item struct {
	Key  string `json:"key"`
	Text string `json:"text"`
}

type input struct {
	Content      string `json:"content"`
	MaxSentences int    `json:"max_sentences"`
}

type request struct {
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	Input  input  `json:"input"`
	key    string
}

// identity says who a result is for; several generations of one identity may stand in the topic.
type identity struct {
	Tenant    string `json:"tenant"`
	Operation string `json:"operation"`
	ID        string `json:"id"`
}

type result struct {
	identity
	Generation int             `json:"generation"`
	Status     string          `json:"status"`
	Output     json.RawMessage `json:"output"`
	Error      json.RawMessage `json:"error"`
	Usage      struct {
		CostUSD *string `json:"cost_usd"`
	} `json:"usage"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "Usage: ask BROKERS ITEMS.jsonl")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := run(ctx, strings.Split(os.Args[1], ","), os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, brokers []string, path string) error {
	requests, err := read(path)
	if err != nil {
		return err
	}
	if err := send(ctx, brokers, requests); err != nil {
		return err
	}
	best, err := join(ctx, brokers, requests)
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("not all items were answered in time; run this again, what was answered costs nothing")
	}
	if err != nil {
		return err
	}
	return write(requests, best)
}

// read makes one request an item. The id is made of the text too: a changed text is another request.
func read(path string) ([]request, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var requests []request
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		var one item
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return nil, err
		}
		id := fmt.Sprintf("%s@%x", one.Key, sha256.Sum256([]byte(one.Text)))
		requests = append(requests, request{id, tenant, input{one.Text, 1}, one.Key})
	}
	return requests, lines.Err()
}

// send is idempotent by the client's default, and waits for all acknowledgements together.
func send(ctx context.Context, brokers []string, requests []request) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	var records []*kgo.Record
	for _, one := range requests {
		value, err := json.Marshal(one)
		if err != nil {
			return err
		}
		records = append(records, &kgo.Record{Topic: requestTopic, Key: []byte(one.key), Value: value})
	}
	return client.ProduceSync(ctx, records...).FirstErr()
}

// join reads the results from their start, in no group: what was there before is whole before it returns.
func join(ctx context.Context, brokers []string, requests []request) (map[identity]result, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(resultTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	behind, err := unread(ctx, kadm.NewClient(client))
	if err != nil {
		return nil, err
	}
	keys := map[string]bool{}
	for _, one := range requests {
		keys[one.key] = true
	}
	best := map[identity]result{}
	for len(behind) > 0 || !all(requests, best) {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return nil, err
		}
		for _, record := range fetches.Records() {
			if end, known := behind[record.Partition]; known && record.Offset+1 >= end {
				delete(behind, record.Partition)
			}
			if !keys[string(record.Key)] {
				continue
			}
			var found result
			if err := json.Unmarshal(record.Value, &found); err != nil {
				return nil, err
			}
			fold(best, found)
		}
	}
	return best, nil
}

// unread gives where each partition that holds records ends now.
func unread(ctx context.Context, admin *kadm.Client) (map[int32]int64, error) {
	starts, err := admin.ListStartOffsets(ctx, resultTopic)
	if err != nil {
		return nil, err
	}
	ends, err := admin.ListEndOffsets(ctx, resultTopic)
	if err != nil {
		return nil, err
	}
	found := map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if start, known := starts.Lookup(resultTopic, end.Partition); known && end.Offset > start.Offset {
			found[end.Partition] = end.Offset
		}
	})
	return found, nil
}

// fold keeps the highest generation: the topic repeats, and a redriven request has one result per generation.
func fold(best map[identity]result, found result) {
	if old, known := best[found.identity]; !known || found.Generation > old.Generation {
		best[found.identity] = found
	}
}

func all(requests []request, best map[identity]result) bool {
	for _, one := range requests {
		if _, known := best[one.identity()]; !known {
			return false
		}
	}
	return true
}

func (r request) identity() identity { return identity{tenant, "summarize", r.ID} }

// write tells what failed too: a failure is a result, and says why.
func write(requests []request, best map[identity]result) error {
	lines := json.NewEncoder(os.Stdout)
	for _, one := range requests {
		found := best[one.identity()]
		var output struct {
			Summary *string `json:"summary"`
		}
		if err := json.Unmarshal(found.Output, &output); err != nil {
			return err
		}
		line := map[string]any{"key": one.key, "status": found.Status, "summary": output.Summary, "error": found.Error,
			"cost_usd": found.Usage.CostUSD}
		if err := lines.Encode(line); err != nil {
			return err
		}
	}
	return nil
}
