import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Asks GenAI Spine for a summary of each item and joins the answers by key.
 *
 * <pre>java -cp "$JARS/*" examples/java/Ask.java 127.0.0.1:9092 examples/feedspine/items.jsonl</pre>
 *
 * Needs kafka-clients and jackson-databind. Items are JSON Lines with `key` and `text`. Writes one JSON line an item, when all
 * of them are answered; exit code 1 if that takes longer than five minutes.
 */
public final class Ask {
    private static final String REQUESTS = "genai.requests.summarize";
    private static final String RESULTS = "genai.results";
    private static final String TENANT = "examples-java";
    private static final Duration PATIENCE = Duration.ofMinutes(5);
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Who a result is for; several generations of one identity may stand in the topic. */
    record Identity(String tenant, String operation, String id) {}

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 2) {
            System.err.println("Usage: Ask BROKERS ITEMS.jsonl");
            System.exit(2);
        }
        Map<String, ObjectNode> requests = requests(Path.of(arguments[1]));
        send(arguments[0], requests);
        if (!join(arguments[0], requests)) {
            System.err.println("Not all items were answered in time; run this again, what was answered costs nothing.");
            System.exit(1);
        }
    }

    /** One request an item, by the item's key. The id is made of the text too: a changed text is another request. */
    static Map<String, ObjectNode> requests(Path items) throws Exception {
        Map<String, ObjectNode> made = new LinkedHashMap<>();
        for (String line : Files.readAllLines(items)) {
            if (line.isBlank()) {
                continue;
            }
            JsonNode item = JSON.readTree(line);
            ObjectNode request = JSON.createObjectNode();
            request.put("id", item.get("key").asText() + "@" + digest(item.get("text").asText()));
            request.put("tenant", TENANT);
            request.putObject("input").put("content", item.get("text").asText()).put("max_sentences", 1);
            made.put(item.get("key").asText(), request);
        }
        return made;
    }

    static String digest(String text) throws Exception {
        byte[] hash = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
        return HexFormat.of().formatHex(hash, 0, 6);
    }

    /** All of them are sent before the first acknowledgement is waited for. */
    static void send(String brokers, Map<String, ObjectNode> requests) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", brokers, "enable.idempotence", true, "acks", "all");
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (var request : requests.entrySet()) {
                String value = JSON.writeValueAsString(request.getValue());
                sent.add(producer.send(new ProducerRecord<>(REQUESTS, request.getKey(), value)));
            }
            for (Future<RecordMetadata> one : sent) {
                one.get();
            }
        }
    }

    /** Reads the results from their start, in no group: what was there before is whole before anything is written. */
    static boolean join(String brokers, Map<String, ObjectNode> requests) throws IOException {
        Map<String, Object> settings = Map.of("bootstrap.servers", brokers, "auto.offset.reset", "earliest");
        Map<Identity, JsonNode> best = new HashMap<>();
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            List<TopicPartition> places = consumer.partitionsFor(RESULTS).stream()
                    .map(found -> new TopicPartition(found.topic(), found.partition())).toList();
            consumer.assign(places);
            consumer.seekToBeginning(places);
            Map<TopicPartition, Long> ends = consumer.endOffsets(places);
            long until = System.nanoTime() + PATIENCE.toNanos();
            while (System.nanoTime() < until) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(500))) {
                    if (requests.containsKey(record.key())) {
                        fold(best, JSON.readTree(record.value()));
                    }
                }
                boolean caughtUp = places.stream().allMatch(place -> consumer.position(place) >= ends.get(place));
                if (caughtUp && requests.values().stream().allMatch(request -> best.containsKey(identity(request)))) {
                    write(requests, best);
                    return true;
                }
            }
        }
        return false;
    }

    /** The topic repeats, and a redriven request has one result per generation: the highest one counts. */
    static void fold(Map<Identity, JsonNode> best, JsonNode result) {
        Identity identity = new Identity(
                result.get("tenant").asText(), result.get("operation").asText(), result.get("id").asText());
        best.merge(identity, result, (old, fresh) ->
                fresh.get("generation").asInt() > old.get("generation").asInt() ? fresh : old);
    }

    static Identity identity(ObjectNode request) {
        return new Identity(TENANT, "summarize", request.get("id").asText());
    }

    /** A failure is a result too, and says why. */
    static void write(Map<String, ObjectNode> requests, Map<Identity, JsonNode> best) throws IOException {
        for (var request : requests.entrySet()) {
            JsonNode result = best.get(identity(request.getValue()));
            ObjectNode line = JSON.createObjectNode().put("key", request.getKey());
            line.put("status", result.get("status").asText());
            line.set("summary", result.path("output").path("summary"));
            line.set("error", result.get("error"));
            line.set("cost_usd", result.path("usage").path("cost_usd"));
            System.out.println(JSON.writeValueAsString(line));
        }
    }
}
