"""What every message must be, for the clients in Python."""


def body(number: int) -> bytes:
    return f"{number} {'x' * (number % 997)}".encode()


class Checks:
    """Takes messages until each number has come."""

    def __init__(self, count: int):
        self.count, self.seen, self.twice = count, set(), 0

    def took(self, content, content_type, message_id, header, redelivered) -> bool:
        number = int(header)
        assert bytes(content) == body(number), f"the body of {number}"
        assert content_type == "text/plain" and message_id == str(number), f"the properties of {number}"
        if number in self.seen:
            assert redelivered, f"{number} came twice"
            self.twice += 1
        self.seen.add(number)
        if len(self.seen) == self.count:
            print(f"all, {self.twice} twice", flush=True)
            return True
        return False
