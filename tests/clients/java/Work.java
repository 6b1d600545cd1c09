// RabbitMQ's Java client at work: see README.md.
import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Envelope;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;

public class Work {
    static byte[] body(int number) {
        return (number + " " + "x".repeat(number % 997)).getBytes(StandardCharsets.US_ASCII);
    }

    static void publish(Channel channel, String queue, int count) throws Exception {
        channel.confirmSelect();
        for (int number = 0; number < count; number++) {
            AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder()
                .deliveryMode(2).contentType("text/plain").messageId(Integer.toString(number))
                .headers(Map.of("number", number)).build();
            channel.basicPublish("", queue, true, properties, body(number));
            if ((number + 1) % 100 == 0 || number + 1 == count) {
                channel.waitForConfirmsOrDie(60_000);
                if (number + 1 == count / 2) {
                    System.out.println("half");
                }
            }
        }
    }

    static void consume(Channel channel, String queue, int count) throws Exception {
        channel.basicQos(50);
        CompletableFuture<Integer> done = new CompletableFuture<>();
        Set<Integer> seen = new HashSet<>();
        int[] twice = {0};
        channel.basicConsume(queue, false, new DefaultConsumer(channel) {
            @Override
            public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] content)
                throws IOException {
                int number = ((Number) properties.getHeaders().get("number")).intValue();
                if (!Arrays.equals(content, body(number)) || !"text/plain".equals(properties.getContentType())
                    || !Integer.toString(number).equals(properties.getMessageId())) {
                    done.completeExceptionally(new IllegalStateException(number + " is not as it was sent"));
                }
                if (!seen.add(number)) {
                    if (!envelope.isRedeliver()) {
                        done.completeExceptionally(new IllegalStateException(number + " came twice"));
                    }
                    twice[0]++;
                }
                getChannel().basicAck(envelope.getDeliveryTag(), false);
                if (seen.size() == count) {
                    done.complete(twice[0]);
                }
            }

            @Override
            public void handleCancel(String tag) {
                done.completeExceptionally(new IllegalStateException("cancelled"));
            }
        });
        System.out.println("all, " + done.get() + " twice");
    }

    public static void main(String[] args) throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(args[1]);
        factory.setAutomaticRecoveryEnabled(false);
        try (Connection connection = factory.newConnection(); Channel channel = connection.createChannel()) {
            int count = Integer.parseInt(args[3]);
            if (args[0].equals("publish")) {
                publish(channel, args[2], count);
            } else {
                consume(channel, args[2], count);
            }
        } catch (Exception error) {
            error.printStackTrace();
            System.exit(1);
        }
    }
}
