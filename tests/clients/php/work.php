<?php
// PHP's php-amqplib at work: see README.md.
require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

[, $what, $uri, $queue, $count] = $argv;
$count = (int) $count;
$at = parse_url($uri);
$connection = new AMQPStreamConnection($at['host'], $at['port'], $at['user'], $at['pass'], '/', false, 'AMQPLAIN', null,
    'en_US', 10, 130);
$channel = $connection->channel();

function body(int $number): string
{
    return $number . ' ' . str_repeat('x', $number % 997);
}

function check(bool $good, string $why): void
{
    if (!$good) {
        fwrite(STDERR, "$why\n");
        exit(1);
    }
}

if ($what === 'publish') {
    $channel->set_nack_handler(fn () => check(false, 'a message was refused'));
    $channel->confirm_select();
    for ($number = 0; $number < $count; $number++) {
        $channel->basic_publish(new AMQPMessage(body($number), [
            'delivery_mode' => 2,
            'content_type' => 'text/plain',
            'message_id' => (string) $number,
            'application_headers' => new AMQPTable(['number' => $number]),
        ]), '', $queue);
        if (($number + 1) % 100 === 0 || $number + 1 === $count) {
            $channel->wait_for_pending_acks(60);
            if ($number + 1 === intdiv($count, 2)) {
                echo "half\n";
            }
        }
    }
} else {
    $seen = [];
    $twice = 0;
    $channel->basic_qos(0, 50, false);
    $channel->basic_consume($queue, '', false, false, false, false, function ($message) use (&$seen, &$twice) {
        $number = $message->get('application_headers')->getNativeData()['number'];
        check($message->getBody() === body($number), "the body of $number");
        check($message->get('content_type') === 'text/plain' && $message->get('message_id') === (string) $number,
            "the properties of $number");
        if (isset($seen[$number])) {
            check($message->isRedelivered(), "$number came twice");
            $twice++;
        }
        $seen[$number] = true;
        $message->ack();
    });
    while (count($seen) < $count) {
        $channel->wait(null, false, 60);
    }
    echo "all, $twice twice\n";
}
$channel->close();
$connection->close();
