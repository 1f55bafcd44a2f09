// A puppet of Tomcat's WebSocket, in both roles. Run from its source, with Debian's jars on the class path. Its argument
// says which kind of endpoint its clients are: `programmatic` ones send fragments by partial messages, `annotated` ones by
// a stream or a writer.

import jakarta.servlet.ServletContextEvent;
import jakarta.servlet.ServletContextListener;
import jakarta.websocket.ClientEndpoint;
import jakarta.websocket.ClientEndpointConfig;
import jakarta.websocket.CloseReason;
import jakarta.websocket.ContainerProvider;
import jakarta.websocket.DeploymentException;
import jakarta.websocket.Endpoint;
import jakarta.websocket.EndpointConfig;
import jakarta.websocket.Extension;
import jakarta.websocket.MessageHandler;
import jakarta.websocket.OnClose;
import jakarta.websocket.OnError;
import jakarta.websocket.OnMessage;
import jakarta.websocket.Session;
import jakarta.websocket.WebSocketContainer;
import jakarta.websocket.server.ServerContainer;
import jakarta.websocket.server.ServerEndpointConfig;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Objects;
import org.apache.catalina.startup.Tomcat;
import org.apache.catalina.util.ServerInfo;
import org.apache.tomcat.websocket.server.WsSci;

public class TomcatPuppet {
    static final int LARGEST = 16 * 1024 * 1024;
    static volatile Session session;
    static volatile boolean compresses;
    static final WebSocketContainer CLIENT = ContainerProvider.getWebSocketContainer();
    static boolean annotated;

    public static void main(String[] arguments) throws Exception {
        annotated = arguments[0].equals("annotated");
        CLIENT.setDefaultMaxTextMessageBufferSize(LARGEST);
        CLIENT.setDefaultMaxBinaryMessageBufferSize(LARGEST);
        var tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("tomcat").toString());
        tomcat.setHostname("127.0.0.1");
        tomcat.setPort(0);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        var context = tomcat.addContext("", null);
        // Classes of a program that is run from its source are in no jar.
        context.setParentClassLoader(TomcatPuppet.class.getClassLoader());
        context.addServletContainerInitializer(new WsSci(), null);
        context.addApplicationListener(Deployment.class.getName());
        Tomcat.addServlet(context, "default", new org.apache.catalina.servlets.DefaultServlet());
        context.addServletMappingDecoded("/", "default");
        tomcat.start();
        var in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            try {
                String answer = obey(line.split(" "), tomcat);
                say("ok" + (answer == null ? "" : " " + answer));
            } catch (UnsupportedOperationException why) {
                say("cannot " + why.getMessage());
            } catch (Exception error) {
                say("failed " + error);
            }
        }
        System.exit(0);
    }

    static String obey(String[] words, Tomcat tomcat) throws Exception {
        switch (words[0]) {
            case "version" -> {
                return ServerInfo.getServerNumber();
            }
            case "connect" -> session = connect(URI.create(words[1]), words[2]);
            case "accept" -> {
                if (words[1].contains(",")) {
                    throw new UnsupportedOperationException("its server demands nothing");
                }
                compresses = words[1].equals("on");
                return String.valueOf(tomcat.getConnector().getLocalPort());
            }
            case "text" -> session.getBasicRemote().sendText(text(words[1]));
            case "binary" -> session.getBasicRemote().sendBinary(bytes(words[1]));
            case "fragments" -> {
                if (annotated) {
                    stream(words);
                } else {
                    parts(words);
                }
            }
            case "ping" -> session.getBasicRemote().sendPing(bytes(words[1]));
            case "close" -> {
                if (words[1].equals("-")) {
                    throw new UnsupportedOperationException("it sends no Close without a code");
                }
                var code = CloseReason.CloseCodes.getCloseCode(Integer.parseInt(words[1]));
                session.close(new CloseReason(code, text(words[2])));
            }
            default -> throw new IllegalArgumentException(words[0]);
        }
        return null;
    }

    static Session connect(URI uri, String deflate) throws Exception {
        if (annotated) {
            if (deflate.contains(",")) {
                throw new UnsupportedOperationException("an annotation names no extensions");
            }
            return CLIENT.connectToServer(new AnnotatedClient(), uri);
        }
        var config = ClientEndpointConfig.Builder.create().extensions(offer(deflate)).build();
        try {
            return CLIENT.connectToServer(new Client(), config, uri);
        } catch (DeploymentException error) {
            if (error.getMessage().contains("extension parameters the client is unable to support")) {
                throw new UnsupportedOperationException("it refuses a window of its own that is not of 15 bits");
            }
            throw error;
        }
    }

    static List<Extension> offer(String deflate) {
        if (deflate.equals("off")) {
            return List.of();
        }
        var parameters = new ArrayList<Extension.Parameter>();
        if (deflate.contains(",")) {
            String[] set = deflate.split(",");
            if (set[0].equals("1")) {
                parameters.add(new Parameter("server_no_context_takeover", null));
            }
            if (set[1].equals("1")) {
                parameters.add(new Parameter("client_no_context_takeover", null));
            }
            if (!set[2].equals("15")) {
                parameters.add(new Parameter("server_max_window_bits", set[2]));
            }
            if (!set[3].equals("15")) {
                parameters.add(new Parameter("client_max_window_bits", set[3]));
            }
        }
        return List.of(new Offer("permessage-deflate", parameters));
    }

    record Offer(String getName, List<Extension.Parameter> getParameters) implements Extension {}

    record Parameter(String getName, String getValue) implements Extension.Parameter {}

    /** A message by partial sends. */
    static void parts(String[] words) throws IOException {
        var remote = session.getBasicRemote();
        for (int at = 2; at < words.length; at++) {
            boolean last = at == words.length - 1;
            if (words[1].equals("text")) {
                remote.sendText(text(words[at]), last);
            } else {
                remote.sendBinary(bytes(words[at]), last);
            }
            if (!last) {
                remote.sendPing(ByteBuffer.wrap("between".getBytes()));
            }
        }
    }

    /** A message by a writer, or by a stream. */
    static void stream(String[] words) throws IOException {
        var remote = session.getBasicRemote();
        try (var writer = words[1].equals("text") ? remote.getSendWriter() : null;
                var stream = writer == null ? remote.getSendStream() : null) {
            for (int at = 2; at < words.length; at++) {
                if (writer != null) {
                    writer.write(text(words[at]));
                    writer.flush();
                } else {
                    stream.write(bytes(words[at]).array());
                    stream.flush();
                }
                remote.sendPing(ByteBuffer.wrap("between".getBytes()));
            }
        }
    }

    public static class Deployment implements ServletContextListener {
        @Override
        public void contextInitialized(ServletContextEvent event) {
            var container = (ServerContainer) event.getServletContext().getAttribute(ServerContainer.class.getName());
            container.setDefaultMaxTextMessageBufferSize(LARGEST);
            container.setDefaultMaxBinaryMessageBufferSize(LARGEST);
            try {
                container.addEndpoint(
                        ServerEndpointConfig.Builder.create(Puppet.class, "/").configurator(new Negotiation()).build());
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        }
    }

    /** Accepts what Tomcat can of the offers, or nothing. */
    public static class Negotiation extends ServerEndpointConfig.Configurator {
        @Override
        public List<Extension> getNegotiatedExtensions(List<Extension> installed, List<Extension> requested) {
            return compresses ? super.getNegotiatedExtensions(installed, requested) : List.of();
        }
    }

    /** At the server, which tells when a connection comes. */
    public static class Puppet extends Client {
        @Override
        public void onOpen(Session opened, EndpointConfig config) {
            super.onOpen(opened, config);
            session = opened;
            say("event open");
        }
    }

    /** The programmatic one. */
    public static class Client extends Endpoint {
        @Override
        public void onOpen(Session opened, EndpointConfig config) {
            opened.addMessageHandler(String.class, (MessageHandler.Whole<String>) TomcatPuppet::tellText);
            opened.addMessageHandler(byte[].class, (MessageHandler.Whole<byte[]>) TomcatPuppet::tellBinary);
        }

        @Override
        public void onError(Session failed, Throwable error) {
            error.printStackTrace();
        }

        @Override
        public void onClose(Session closed, CloseReason reason) {
            tellClose(reason);
        }
    }

    /** The annotated one. */
    @ClientEndpoint
    public static class AnnotatedClient {
        @OnMessage
        public void text(String text) {
            tellText(text);
        }

        @OnMessage
        public void binary(byte[] binary) {
            tellBinary(binary);
        }

        @OnError
        public void failed(Throwable error) {
            error.printStackTrace();
        }

        @OnClose
        public void closed(CloseReason reason) {
            tellClose(reason);
        }
    }

    static void tellText(String text) {
        say("event text " + encode(text.getBytes(StandardCharsets.UTF_8)));
    }

    static void tellBinary(byte[] binary) {
        say("event binary " + encode(binary));
    }

    static void tellClose(CloseReason reason) {
        String phrase = Objects.requireNonNullElse(reason.getReasonPhrase(), "");
        say("event closed " + reason.getCloseCode().getCode() + " " + encode(phrase.getBytes(StandardCharsets.UTF_8)));
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
