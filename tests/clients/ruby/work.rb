# Ruby's bunny at work: see README.md.
require 'bunny'

what, uri, queue, count = ARGV
count = count.to_i
$stdout.sync = true

def body(number)
  "#{number} #{'x' * (number % 997)}"
end

connection = Bunny.new(uri, automatically_recover: false, continuation_timeout: 60_000).start
channel = connection.create_channel

if what == 'publish'
  channel.confirm_select
  count.times do |number|
    channel.default_exchange.publish(body(number), routing_key: queue, persistent: true, content_type: 'text/plain',
                                                   message_id: number.to_s, headers: { number: number })
    next unless ((number + 1) % 100).zero? || number + 1 == count

    abort 'a message was refused' unless channel.wait_for_confirms
    puts 'half' if number + 1 == count / 2
  end
else
  channel.prefetch(50)
  seen = {}
  twice = 0
  done = Queue.new
  channel.queue(queue, passive: true).subscribe(manual_ack: true) do |delivery, properties, content|
    number = properties.headers['number']
    good = content == body(number) && properties.content_type == 'text/plain' && properties.message_id == number.to_s
    done << "#{number} is not as it was sent" unless good
    if seen[number]
      done << "#{number} came twice" unless delivery.redelivered?
      twice += 1
    end
    seen[number] = true
    channel.ack(delivery.delivery_tag)
    done << nil if seen.size == count
  end
  why = done.pop
  abort why if why
  puts "all, #{twice} twice"
end
connection.close
