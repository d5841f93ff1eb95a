import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Set;
import java.util.UUID;
import java.util.regex.Pattern;

/**
 * Enqueues a payment voucher and prints the upload's id. Java 17 or later, no libraries.
 *
 * <pre>GATEWAY=https://voucherd.example TOKEN=voucherd_… java Upload.java [--wait] FILE ORDER [REFERENCE]</pre>
 */
public final class Upload {
    private static final Set<String> FINAL = Set.of("delivered", "rejected", "expired", "discarded");
    private static final int[] PAUSES = {500, 1000, 2000, 4000, 8000, 0}; // milliseconds

    private final HttpClient http = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
    private final String gateway;
    private final String token;

    Upload(String gateway, String token) {
        this.gateway = gateway.replaceAll("/$", "");
        this.token = token;
    }

    /** Enqueues the voucher and returns the upload's id. */
    String upload(Path file, String orderId, String reference) throws IOException, InterruptedException {
        String boundary = UUID.randomUUID().toString();
        String part = "--" + boundary + "\r\nContent-Disposition: form-data; name=";
        BodyPublisher form = BodyPublishers.concat(
                BodyPublishers.ofString(part + "\"orderId\"\r\n\r\n" + orderId + "\r\n"
                        + part + "\"reference\"\r\n\r\n" + reference + "\r\n"
                        + part + "\"voucher\"; filename=\"voucher\"\r\n\r\n"),
                BodyPublishers.ofFile(file),
                BodyPublishers.ofString("\r\n--" + boundary + "--\r\n"));
        return member("id", call(request("/v1/uploads")
                .header("Content-Type", "multipart/form-data; boundary=" + boundary).POST(form).build()));
    }

    /** Waits for the end, and gives the final state. */
    String await(String id) throws IOException, InterruptedException {
        for (;; Thread.sleep(2000)) {
            String state = member("state", call(request("/v1/uploads/" + id).build()));
            if (FINAL.contains(state)) {
                return state;
            }
        }
    }

    private HttpRequest.Builder request(String path) {
        return HttpRequest.newBuilder(URI.create(gateway + path))
                .header("Authorization", "Bearer " + token).timeout(Duration.ofSeconds(60));
    }

    /**
     * Gives the answer. It tries again what may pass by itself. That is safe for uploads too: the same voucher for the
     * same order is the same upload.
     */
    private String call(HttpRequest request) throws IOException, InterruptedException {
        IOException failure = null;
        for (int pause : PAUSES) {
            try {
                var answer = http.send(request, BodyHandlers.ofString());
                int status = answer.statusCode();
                if (status / 100 == 2) {
                    return answer.body();
                }
                failure = new IOException("refused with HTTP " + status + ": " + member("detail", answer.body()));
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

    /** Gives a text member; your JSON library does it better. */
    private static String member(String name, String json) {
        var found = Pattern.compile("\"" + name + "\":\"((?:[^\"\\\\]|\\\\.)*)\"").matcher(json);
        return found.find() ? found.group(1).replaceAll("\\\\(.)", "$1") : "";
    }

    public static void main(String[] args) throws InterruptedException {
        boolean waits = args.length > 0 && args[0].equals("--wait");
        int at = waits ? 1 : 0;
        String gateway = System.getenv("GATEWAY");
        String token = System.getenv("TOKEN");
        if (gateway == null || token == null || args.length < at + 2 || args.length > at + 3) {
            System.err.println("usage: GATEWAY=… TOKEN=… java Upload.java [--wait] FILE ORDER [REFERENCE]");
            System.exit(2);
        }
        try {
            Upload voucherd = new Upload(gateway, token);
            String id = voucherd.upload(Path.of(args[at]), args[at + 1], args.length > at + 2 ? args[at + 2] : "");
            System.out.println(id);
            if (waits) {
                String state = voucherd.await(id);
                System.out.println(state);
                System.exit(state.equals("delivered") ? 0 : 4);
            }
        } catch (IOException e) {
            System.err.println(e.getMessage());
            System.exit(1);
        }
    }
}
