// A client as the JVM has it: the new one, with its offer of HTTP/2 on plain http, and the old one.
//
//     java Ask.java URL TOKEN_FILE CODE_FILE

import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;

public class Ask {
    static String path = "/data/python3integration/api/v1/exec";

    public static void main(String[] args) throws Exception {
        URI uri = URI.create(args[0] + path);
        String token = Files.readString(Path.of(args[1])).strip();
        byte[] body = Files.readAllBytes(Path.of(args[2]));
        HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(20)).build();
        for (int repeat = 0; repeat < 3; repeat++) {
            HttpRequest request = HttpRequest.newBuilder(uri)
                .timeout(Duration.ofSeconds(30))
                .header("Content-Type", "application/json;charset=UTF-8")
                .header("Authorization", "Bearer " + token)
                .POST(HttpRequest.BodyPublishers.ofByteArray(body))
                .build();
            HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.version() + " " + answer.statusCode() + " " + answer.body());
        }
        HttpRequest without = HttpRequest.newBuilder(uri).POST(HttpRequest.BodyPublishers.ofByteArray(body)).build();
        System.out.println("none " + client.send(without, HttpResponse.BodyHandlers.ofString()).statusCode() + " {}");
        HttpURLConnection old = (HttpURLConnection) uri.toURL().openConnection();
        old.setRequestMethod("POST");
        old.setDoOutput(true);
        old.setReadTimeout(30000);
        old.setFixedLengthStreamingMode(body.length);
        old.setRequestProperty("Content-Type", "application/json");
        old.setRequestProperty("Authorization", "Bearer " + token);
        try (OutputStream out = old.getOutputStream()) {
            out.write(body);
        }
        String text = new String(old.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        System.out.println("old " + old.getResponseCode() + " " + text);
    }
}
