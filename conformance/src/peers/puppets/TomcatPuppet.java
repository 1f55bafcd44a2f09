// A puppet of Tomcat's WebSocket, a server. Run from its source, with Debian's jars on the class path.

import jakarta.servlet.ServletContextEvent;
import jakarta.servlet.ServletContextListener;
import jakarta.websocket.CloseReason;
import jakarta.websocket.Endpoint;
import jakarta.websocket.EndpointConfig;
import jakarta.websocket.Extension;
import jakarta.websocket.MessageHandler;
import jakarta.websocket.Session;
import jakarta.websocket.server.ServerContainer;
import jakarta.websocket.server.ServerEndpointConfig;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
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

    public static void main(String[] arguments) throws Exception {
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
                for (int at = 2; at < words.length; at++) {
                    boolean last = at == words.length - 1;
                    if (words[1].equals("text")) {
                        session.getBasicRemote().sendText(text(words[at]), last);
                    } else {
                        session.getBasicRemote().sendBinary(bytes(words[at]), last);
                    }
                    if (!last) {
                        session.getBasicRemote().sendPing(ByteBuffer.wrap("between".getBytes()));
                    }
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

    public static class Puppet extends Endpoint {
        @Override
        public void onOpen(Session opened, EndpointConfig config) {
            opened.addMessageHandler(String.class, (MessageHandler.Whole<String>)
                    text -> say("event text " + encode(text.getBytes(StandardCharsets.UTF_8))));
            opened.addMessageHandler(byte[].class, (MessageHandler.Whole<byte[]>)
                    binary -> say("event binary " + encode(binary)));
            session = opened;
            say("event open");
        }

        @Override
        public void onError(Session failed, Throwable error) {
            error.printStackTrace();
        }

        @Override
        public void onClose(Session closed, CloseReason reason) {
            String phrase = Objects.requireNonNullElse(reason.getReasonPhrase(), "");
            say("event closed " + reason.getCloseCode().getCode() + " "
                    + encode(phrase.getBytes(StandardCharsets.UTF_8)));
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
