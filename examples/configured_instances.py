"""Classes: one workflow, several configured instances, each found again by its name after a crash.

Run it with `python examples/configured_instances.py`.
"""

from dbos import DBOS, DBOSConfiguredInstance


@DBOS.dbos_class()
class Mailbox(DBOSConfiguredInstance):
    """A mail account. Its settings live in code; what is stored is its name."""

    def __init__(self, name: str, sender: str) -> None:
        self.sender = sender
        super().__init__(config_name=name)

    @DBOS.step()
    def send(self, recipient: str, text: str) -> str:
        return f"from {self.sender} to {recipient}: {text}"

    @DBOS.workflow()
    def invite(self, guests: list[str]) -> list[str]:
        return [self.send(guest, "please come") for guest in guests]

    @classmethod
    @DBOS.workflow()
    def describe(cls) -> str:
        return cls.__name__


# Instances exist before launch, so that recovery finds them.
work = Mailbox("work", "office@example.com")
home = Mailbox("home", "me@example.com")


def main() -> None:
    DBOS(config={"name": "mailboxes", "log_level": "WARNING"})
    DBOS.launch()
    for line in home.invite(["Ada", "Alan"]):
        print(line)
    handle = DBOS.start_workflow(work.invite, ["Grace"])
    print(handle.get_result()[0])
    status = handle.get_status()
    print(f"stored as class {status.class_name}, instance {status.config_name}; also {Mailbox.describe()}")
    DBOS.destroy()


if __name__ == "__main__":
    main()
