// Go's amqp091 at work: see README.md.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(good bool, format string, values ...interface{}) {
	if !good {
		must(fmt.Errorf(format, values...))
	}
}

func body(number int) string {
	return fmt.Sprintf("%d %s", number, strings.Repeat("x", number%997))
}

func publish(channel *amqp.Channel, queue string, count int) {
	must(channel.Confirm(false))
	pending := []*amqp.DeferredConfirmation{}
	for number := 0; number < count; number++ {
		confirmation, err := channel.PublishWithDeferredConfirmWithContext(context.Background(), "", queue, true, false, amqp.Publishing{
			DeliveryMode: amqp.Persistent,
			ContentType:  "text/plain",
			MessageId:    strconv.Itoa(number),
			Headers:      amqp.Table{"number": int32(number)},
			Body:         []byte(body(number)),
		})
		must(err)
		pending = append(pending, confirmation)
		if (number+1)%100 == 0 || number+1 == count {
			for _, one := range pending {
				check(one.Wait(), "%d was not confirmed", one.DeliveryTag)
			}
			pending = pending[:0]
			if number+1 == count/2 {
				fmt.Println("half")
			}
		}
	}
}

func consume(channel *amqp.Channel, queue string, count int) {
	must(channel.Qos(50, 0, false))
	deliveries, err := channel.Consume(queue, "", false, false, false, false, nil)
	must(err)
	seen, twice := map[int]bool{}, 0
	for message := range deliveries {
		// Which kind of number it is depends on the publisher.
		number, err := strconv.Atoi(fmt.Sprint(message.Headers["number"]))
		must(err)
		check(string(message.Body) == body(number), "the body of %d", number)
		check(message.ContentType == "text/plain" && message.MessageId == strconv.Itoa(number), "the properties of %d", number)
		if seen[number] {
			check(message.Redelivered, "%d came twice", number)
			twice++
		}
		seen[number] = true
		must(message.Ack(false))
		if len(seen) == count {
			fmt.Printf("all, %d twice\n", twice)
			return
		}
	}
	check(false, "the channel was closed")
}

func main() {
	count, err := strconv.Atoi(os.Args[4])
	must(err)
	connection, err := amqp.Dial(os.Args[2])
	must(err)
	channel, err := connection.Channel()
	must(err)
	if os.Args[1] == "publish" {
		publish(channel, os.Args[3], count)
	} else {
		consume(channel, os.Args[3], count)
	}
	must(connection.Close())
}
