// A puppet of java.net.http.WebSocket; a client only. Run from its source.

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.concurrent.CompletionStage;

public class JavaPuppet {
    static final HttpClient CLIENT = HttpClient.newHttpClient();
    static WebSocket socket;

    public static void main(String[] arguments) throws Exception {
        var in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            try {
                String answer = obey(line.split(" "));
                say("ok" + (answer == null ? "" : " " + answer));
            } catch (UnsupportedOperationException why) {
                say("cannot " + why.getMessage());
            } catch (Exception error) {
                say("failed " + error);
            }
        }
        System.exit(0);
    }

    static String obey(String[] words) throws Exception {
        switch (words[0]) {
            case "version" -> {
                return System.getProperty("java.version");
            }
            case "connect" -> {
                if (words[2].contains(",")) {
                    throw new UnsupportedOperationException("it does not compress messages");
                }
                socket = CLIENT.newWebSocketBuilder().buildAsync(URI.create(words[1]), new Reader()).get();
            }
            case "text" -> socket.sendText(text(words[1]), true).get();
            case "binary" -> socket.sendBinary(bytes(words[1]), true).get();
            case "fragments" -> {
                for (int at = 2; at < words.length; at++) {
                    boolean last = at == words.length - 1;
                    if (words[1].equals("text")) {
                        socket.sendText(text(words[at]), last).get();
                    } else {
                        socket.sendBinary(bytes(words[at]), last).get();
                    }
                    if (!last) {
                        socket.sendPing(ByteBuffer.wrap("between".getBytes())).get();
                    }
                }
            }
            case "ping" -> socket.sendPing(bytes(words[1])).get();
            case "close" -> {
                if (words[1].equals("-")) {
                    throw new UnsupportedOperationException("it sends no Close without a code");
                }
                socket.sendClose(Integer.parseInt(words[1]), text(words[2])).get();
            }
            default -> throw new IllegalArgumentException(words[0]);
        }
        return null;
    }

    /** Puts fragments together, as the interface asks of who uses it. */
    static class Reader implements WebSocket.Listener {
        private final StringBuilder text = new StringBuilder();
        private final ByteArrayOutputStream binary = new ByteArrayOutputStream();

        @Override
        public CompletionStage<?> onText(WebSocket socket, CharSequence part, boolean last) {
            text.append(part);
            if (last) {
                say("event text " + encode(text.toString().getBytes(StandardCharsets.UTF_8)));
                text.setLength(0);
            }
            socket.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer part, boolean last) {
            while (part.hasRemaining()) {
                binary.write(part.get());
            }
            if (last) {
                say("event binary " + encode(binary.toByteArray()));
                binary.reset();
            }
            socket.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
            say("event closed " + code + " " + encode(reason.getBytes(StandardCharsets.UTF_8)));
            return null;
        }

        @Override
        public void onError(WebSocket socket, Throwable error) {
            say("event closed 1006 " + encode(String.valueOf(error).getBytes(StandardCharsets.UTF_8)));
        }
    }

    static synchronized void say(String line) {
        System.out.println(line.replace("\n", " "));
        System.out.flush();
    }

    static String encode(byte[] payload) {
        return payload.length == 0 ? "-" : Base64.getEncoder().encodeToString(payload);
    }

    static String text(String word) {
        return StandardCharsets.UTF_8.decode(bytes(word)).toString();
    }

    static ByteBuffer bytes(String word) {
        return ByteBuffer.wrap(word.equals("-") ? new byte[0] : Base64.getDecoder().decode(word));
    }
}
