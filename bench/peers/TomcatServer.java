// Tomcat's WebSocket, embedded, with an annotated endpoint.
//
// Arguments: the job, zlib's level (0: no compression; else its 6, it has no other), and whether contexts are
// taken over.

import jakarta.servlet.ServletContextEvent;
import jakarta.servlet.ServletContextListener;
import jakarta.websocket.Extension;
import jakarta.websocket.OnClose;
import jakarta.websocket.OnError;
import jakarta.websocket.OnMessage;
import jakarta.websocket.OnOpen;
import jakarta.websocket.Session;
import jakarta.websocket.server.ServerContainer;
import jakarta.websocket.server.ServerEndpoint;
import jakarta.websocket.server.ServerEndpointConfig;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.apache.catalina.servlets.DefaultServlet;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.websocket.server.WsSci;

public class TomcatServer {
    static final Logger ROOT = Logger.getLogger("");
    static boolean echoes;
    static boolean compresses;
    static boolean takesOver;

    public static void main(String[] arguments) throws Exception {
        echoes = arguments[0].equals("echo");
        compresses = !arguments[1].equals("0");
        takesOver = Boolean.parseBoolean(arguments[2]);
        ROOT.setLevel(Level.WARNING);
        var tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("tomcat").toString());
        tomcat.setHostname("127.0.0.1");
        tomcat.setPort(0);
        var connector = tomcat.getConnector();
        connector.setProperty("address", "127.0.0.1");
        // 8,192 would be the most by default.
        connector.setProperty("maxConnections", "32768");
        connector.setProperty("acceptCount", "4096");
        var context = tomcat.addContext("", null);
        context.addServletContainerInitializer(new WsSci(), null);
        context.addApplicationListener(Deployment.class.getName());
        Tomcat.addServlet(context, "default", new DefaultServlet());
        context.addServletMappingDecoded("/", "default");
        tomcat.start();
        System.out.println("127.0.0.1:" + connector.getLocalPort());
        tomcat.getServer().await();
    }

    public static class Deployment implements ServletContextListener {
        @Override
        public void contextInitialized(ServletContextEvent event) {
            var container = (ServerContainer) event.getServletContext().getAttribute(ServerContainer.class.getName());
            try {
                if (echoes) {
                    container.addEndpoint(Echo.class);
                } else {
                    container.addEndpoint(Publish.class);
                    container.addEndpoint(Subscribe.class);
                }
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        }
    }

    /** Takes the first offer of compression, with the context that is asked for here. */
    public static class Negotiation extends ServerEndpointConfig.Configurator {
        @Override
        public List<Extension> getNegotiatedExtensions(List<Extension> installed, List<Extension> requested) {
            if (!compresses) {
                return List.of();
            }
            var offers = super.getNegotiatedExtensions(installed, requested);
            if (takesOver || offers.isEmpty()) {
                return offers;
            }
            var parameters = new ArrayList<>(offers.get(0).getParameters());
            for (String name : List.of("server_no_context_takeover", "client_no_context_takeover")) {
                if (parameters.stream().noneMatch(parameter -> parameter.getName().equals(name))) {
                    parameters.add(new Flag(name));
                }
            }
            return List.of(new Offer(offers.get(0).getName(), parameters));
        }
    }

    record Offer(String name, List<Extension.Parameter> parameters) implements Extension {
        @Override
        public String getName() {
            return name;
        }

        @Override
        public List<Extension.Parameter> getParameters() {
            return parameters;
        }
    }

    record Flag(String name) implements Extension.Parameter {
        @Override
        public String getName() {
            return name;
        }

        @Override
        public String getValue() {
            return null;
        }
    }

    /**
     * Takes messages in the parts in which they come: for whole ones every session would hold a buffer of
     * the largest that there may be.
     */
    @ServerEndpoint(value = "/", configurator = Negotiation.class)
    public static class Echo {
        private StringBuilder text;
        private ByteArrayOutputStream binary;

        @OnMessage
        public void text(Session session, String part, boolean last) throws IOException {
            if (last && text == null) {
                session.getBasicRemote().sendText(part);
                return;
            }
            if (text == null) {
                text = new StringBuilder();
            }
            text.append(part);
            if (last) {
                session.getBasicRemote().sendText(text.toString());
                text = null;
            }
        }

        @OnMessage
        public void binary(Session session, ByteBuffer part, boolean last) throws IOException {
            if (last && binary == null) {
                session.getBasicRemote().sendBinary(part);
                return;
            }
            if (binary == null) {
                binary = new ByteArrayOutputStream();
            }
            var bytes = new byte[part.remaining()];
            part.get(bytes);
            binary.write(bytes);
            if (last) {
                session.getBasicRemote().sendBinary(ByteBuffer.wrap(binary.toByteArray()));
                binary = null;
            }
        }

        /** What ends a connection is none of ours. */
        @OnError
        public void error(Throwable error) {}
    }

    static final Set<Session> SUBSCRIBERS = ConcurrentHashMap.newKeySet();

    @ServerEndpoint("/subscribe")
    public static class Subscribe {
        @OnOpen
        public void open(Session session) {
            SUBSCRIBERS.add(session);
        }

        @OnClose
        public void close(Session session) {
            SUBSCRIBERS.remove(session);
        }

        @OnError
        public void error(Throwable error) {}
    }

    @ServerEndpoint("/publish")
    public static class Publish {
        @OnMessage
        public void binary(ByteBuffer message) {
            for (Session subscriber : SUBSCRIBERS) {
                try {
                    subscriber.getBasicRemote().sendBinary(message.duplicate());
                } catch (IOException | IllegalStateException gone) {
                    SUBSCRIBERS.remove(subscriber);
                }
            }
        }

        @OnError
        public void error(Throwable error) {}
    }
}
