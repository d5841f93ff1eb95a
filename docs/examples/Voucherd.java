import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.StringJoiner;
import java.util.UUID;
import java.util.function.Consumer;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * A client of voucherd's HTTP API. Java 17 or later, no libraries. Copy it whole, without Json if you have a library
 * for that.
 *
 * <pre>
 * GATEWAY=https://voucherd.example TOKEN=voucherd_… java Voucherd.java upload [--wait] FILE ORDER [REFERENCE]
 * … java Voucherd.java wait ID
 * … java Voucherd.java list [NAME=VALUE…]        as in list state=rejected since=24h
 * … java Voucherd.java feed CURSORFILE           a page of what ended since the last time
 * WEBHOOK_SECRET=whsec_… java Voucherd.java verify ID TIMESTAMP SIGNATURE &lt;BODY
 * </pre>
 */
public final class Voucherd {
    private static final Set<String> FINAL = Set.of("delivered", "rejected", "expired", "discarded");
    private static final int[] PAUSES = {500, 1000, 2000, 4000, 8000, 0}; // milliseconds between tries
    private static final Duration TOLERANCE = Duration.ofMinutes(5); // that a webhook's time may be off

    private final HttpClient http = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
    private final String gateway;
    private final String token;

    public Voucherd(String gateway, String token) {
        this.gateway = gateway.replaceAll("/$", "");
        this.token = token;
    }

    /**
     * Enqueues the voucher in a file and gives its upload. Fields are reference, userId, account, again, replace and
     * reason.
     */
    public Map<String, Object> upload(Path file, String orderId, Map<String, String> fields)
            throws IOException, InterruptedException {
        String boundary = UUID.randomUUID().toString();
        String part = "--" + boundary + "\r\nContent-Disposition: form-data; name=";
        var text = new StringBuilder(part + "\"orderId\"\r\n\r\n" + orderId + "\r\n");
        fields.forEach((name, value) -> text.append(part + "\"" + name + "\"\r\n\r\n" + value + "\r\n"));
        var form = BodyPublishers.concat(
                BodyPublishers.ofString(text + part + "\"voucher\"; filename=\"voucher\"\r\n\r\n"),
                BodyPublishers.ofFile(file),
                BodyPublishers.ofString("\r\n--" + boundary + "--\r\n"));
        return call(request("/v1/uploads")
                .header("Content-Type", "multipart/form-data; boundary=" + boundary).POST(form).build());
    }

    public Map<String, Object> get(String id) throws IOException, InterruptedException {
        return call(request("/v1/uploads/" + encode(id)).build());
    }

    /** Gives the upload once it has ended. While PandaPon's API is away, that can take days. */
    public Map<String, Object> await(String id) throws IOException, InterruptedException {
        for (;; Thread.sleep(2000)) {
            var found = get(id);
            if (FINAL.contains(found.get("state"))) {
                return found;
            }
        }
    }

    /** Gives uploads one by one, newest first: by state, orderId, requestId, code, account, since. */
    public void list(Map<String, String> filters, Consumer<Map<String, Object>> each)
            throws IOException, InterruptedException {
        var query = new HashMap<>(filters);
        do {
            var page = call(request("/v1/uploads?" + encode(query)).build());
            Json.objects(page.get("uploads")).forEach(each);
            query.put("cursor", (String) page.getOrDefault("cursor", ""));
        } while (!query.get("cursor").isEmpty());
    }

    /**
     * Gives the events after a cursor ("": from the oldest), and the cursor to go on from. It waits for the first one.
     * Deal with the events, then keep the cursor. An event may come again, with the same id.
     */
    public Map<String, Object> events(String after) throws IOException, InterruptedException {
        return call(request("/v1/events?" + encode(Map.of("after", after, "wait", "30s"))).build());
    }

    /**
     * Gives the event of a webhook, or throws when it is not voucherd's. Id, timestamp and signature are the headers
     * webhook-id, webhook-timestamp and webhook-signature; the body is the request's as it came.
     */
    public static Map<String, Object> verify(String secret, String id, String timestamp, String signature, byte[] body)
            throws GeneralSecurityException {
        if (!timestamp.matches("\\d{1,12}")
                || Math.abs(Instant.now().getEpochSecond() - Long.parseLong(timestamp)) > TOLERANCE.toSeconds()) {
            throw new GeneralSecurityException("the webhook's time is off");
        }
        var mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(Base64.getDecoder().decode(secret.replaceFirst("^whsec_", "")), "HmacSHA256"));
        mac.update((id + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8));
        byte[] want = ("v1," + Base64.getEncoder().encodeToString(mac.doFinal(body))).getBytes(StandardCharsets.UTF_8);
        for (String given : signature.split(" ")) {
            if (MessageDigest.isEqual(want, given.getBytes(StandardCharsets.UTF_8))) {
                return Json.object(new String(body, StandardCharsets.UTF_8));
            }
        }
        throw new GeneralSecurityException("the webhook's signature is wrong");
    }

    private HttpRequest.Builder request(String path) {
        return HttpRequest.newBuilder(URI.create(gateway + path))
                .header("Authorization", "Bearer " + token).timeout(Duration.ofSeconds(60));
    }

    /**
     * Gives the answer. It tries again what may pass by itself. That is safe for uploads too: the same voucher for the
     * same order is the same upload.
     */
    private Map<String, Object> call(HttpRequest request) throws IOException, InterruptedException {
        IOException failure = null;
        for (int pause : PAUSES) {
            try {
                var answer = http.send(request, BodyHandlers.ofString());
                int status = answer.statusCode();
                if (status / 100 == 2) {
                    return Json.object(answer.body());
                }
                failure = new IOException("refused with HTTP " + status + ": " + detail(answer.body()));
                if (status != 503 && status != 507) {
                    break;
                }
            } catch (IOException e) {
                failure = new IOException("no answer: " + e, e);
            }
            Thread.sleep(pause);
        }
        throw failure;
    }

    /** Says why a call was refused, if voucherd says it and not a proxy before it. */
    private static Object detail(String body) {
        try {
            return Json.object(body).get("detail");
        } catch (IllegalArgumentException e) {
            return body.substring(0, Math.min(body.length(), 200));
        }
    }

    private static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }

    private static String encode(Map<String, String> query) {
        var pairs = new StringJoiner("&");
        query.forEach((name, value) -> pairs.add(encode(name) + "=" + encode(value)));
        return pairs.toString();
    }

    /** Prints a page of events, and then keeps the cursor in a file. */
    private static void follow(Voucherd client, Path file) throws IOException, InterruptedException {
        var page = client.events(Files.exists(file) ? Files.readString(file).strip() : "");
        Json.objects(page.get("events")).forEach(Voucherd::show);
        Path next = Files.writeString(Path.of(file + ".new"), (String) page.get("cursor"));
        Files.move(next, file, StandardCopyOption.REPLACE_EXISTING);
    }

    private static void show(Map<String, Object> event) {
        Object id = ((Map<?, ?>) event.get("data")).get("id");
        System.out.println(event.get("id") + "\t" + event.get("type") + "\t" + (id == null ? "" : id));
    }

    /** Gives the exit code. */
    private static int run(List<String> args) throws IOException, InterruptedException, GeneralSecurityException {
        String gateway = System.getenv("GATEWAY");
        String token = System.getenv("TOKEN");
        String secret = System.getenv("WEBHOOK_SECRET");
        String command = args.isEmpty() ? "" : args.get(0);
        boolean waits = command.equals("upload") && args.size() > 1 && args.get(1).equals("--wait");
        args = args.subList(waits ? 2 : Math.min(1, args.size()), args.size());
        if (command.equals("verify") && args.size() == 3 && secret != null) {
            show(verify(secret, args.get(0), args.get(1), args.get(2), System.in.readAllBytes()));
            return 0;
        }
        Voucherd client = gateway == null || token == null ? null : new Voucherd(gateway, token);
        String id;
        if (client != null && command.equals("upload") && (args.size() == 2 || args.size() == 3)) {
            String reference = args.size() == 3 ? args.get(2) : "";
            id = (String) client.upload(Path.of(args.get(0)), args.get(1), Map.of("reference", reference)).get("id");
            System.out.println(id);
            if (!waits) {
                return 0;
            }
        } else if (client != null && command.equals("wait") && args.size() == 1) {
            id = args.get(0);
        } else if (client != null && command.equals("list")) {
            var filters = new HashMap<String, String>();
            args.forEach(a -> filters.put(a.split("=", 2)[0], a.split("=", 2)[1]));
            client.list(filters,
                    u -> System.out.println(u.get("id") + "\t" + u.get("state") + "\t" + u.get("orderId")));
            return 0;
        } else if (client != null && command.equals("feed") && args.size() == 1) {
            follow(client, Path.of(args.get(0)));
            return 0;
        } else {
            System.err.println("usage: Voucherd.java upload [--wait] FILE ORDER [REFERENCE]\n"
                    + "       Voucherd.java wait ID | list [NAME=VALUE…] | feed CURSORFILE\n"
                    + "       Voucherd.java verify ID TIMESTAMP SIGNATURE <BODY");
            return 2;
        }
        Object state = client.await(id).get("state");
        System.out.println(state);
        return state.equals("delivered") ? 0 : 4;
    }

    public static void main(String[] args) throws InterruptedException {
        try {
            System.exit(run(List.of(args)));
        } catch (IOException | GeneralSecurityException | IllegalArgumentException e) {
            System.err.println(e.getMessage());
            System.exit(1);
        }
    }

    /** Reads JSON: objects as Map, arrays as List, numbers as String, so that none loses digits. */
    static final class Json {
        private final String text;
        private int at;

        private Json(String text) {
            this.text = text;
        }

        /** Reads a text that is an object; IllegalArgumentException when it is none. */
        @SuppressWarnings("unchecked")
        static Map<String, Object> object(String text) {
            if (new Json(text).value() instanceof Map<?, ?> map) {
                return (Map<String, Object>) map;
            }
            throw new IllegalArgumentException("no JSON object");
        }

        @SuppressWarnings("unchecked")
        static List<Map<String, Object>> objects(Object list) {
            return (List<Map<String, Object>>) list;
        }

        private Object value() {
            switch (next()) {
                case '{':
                    var map = new LinkedHashMap<String, Object>();
                    for (boolean more = starts('}'); more; more = goesOn('}')) {
                        var name = (String) value();
                        want(':');
                        map.put(name, value());
                    }
                    return map;
                case '[':
                    var list = new ArrayList<Object>();
                    for (boolean more = starts(']'); more; more = goesOn(']')) {
                        list.add(value());
                    }
                    return list;
                case '"':
                    return string();
                default:
                    int from = at;
                    while (at < text.length() && ",]} \t\r\n".indexOf(text.charAt(at)) < 0) {
                        at++;
                    }
                    String word = text.substring(from, at);
                    return switch (word) {
                        case "true" -> true;
                        case "false" -> false;
                        case "null" -> null;
                        default -> word;
                    };
            }
        }

        private String string() {
            var out = new StringBuilder();
            for (at++; here() != '"'; at++) {
                char c = text.charAt(at);
                if (c == '\\') {
                    c = text.charAt(++at);
                    int escape = "bfnrt".indexOf(c);
                    if (c == 'u') {
                        c = (char) Integer.parseInt(text.substring(at + 1, at + 5), 16);
                        at += 4;
                    } else if (escape >= 0) {
                        c = "\b\f\n\r\t".charAt(escape);
                    }
                }
                out.append(c);
            }
            at++;
            return out.toString();
        }

        private boolean starts(char end) {
            at++;
            return !skip(end);
        }

        private boolean goesOn(char end) {
            if (skip(end)) {
                return false;
            }
            want(',');
            return true;
        }

        private void want(char c) {
            if (!skip(c)) {
                throw new IllegalArgumentException("no JSON: " + c + " is missing");
            }
        }

        private boolean skip(char c) {
            boolean is = next() == c;
            at += is ? 1 : 0;
            return is;
        }

        private char next() {
            while (Character.isWhitespace(here())) {
                at++;
            }
            return here();
        }

        private char here() {
            if (at >= text.length()) {
                throw new IllegalArgumentException("no JSON: it is cut off");
            }
            return text.charAt(at);
        }
    }
}
