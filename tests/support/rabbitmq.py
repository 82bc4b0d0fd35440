"""A RabbitMQ of the test's own, with its MQTT plugin (3.1.1, one user)."""
import pathlib

from .process import free_port, port_is_open, wait_until

USER, PASSWORD = "probe", "correct horse"


class RabbitMq:
    name = "rabbitmq"
    LAUNCHER = pathlib.Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

    def __init__(self, processes, directory: pathlib.Path):
        self.processes, self.directory, self.port = processes, directory, free_port()

    def start(self) -> "RabbitMq":
        names, amqp, home = free_port(), free_port(), self.directory / "rabbit"
        home.mkdir()
        (home / "enabled_plugins").write_text("[rabbitmq_mqtt].\n")
        (home / "rabbitmq.conf").write_text(
            f"listeners.tcp.local = 127.0.0.1:{amqp}\nmqtt.listeners.tcp.local = 127.0.0.1:{self.port}\n"
            f"mqtt.allow_anonymous = false\nmqtt.prefetch = 1000\ndefault_user = {USER}\n"
            f"default_pass = {PASSWORD}\nlog.console = true\n")
        env = {"HOME": str(home), "RABBITMQ_NODENAME": f"probe{self.port}@localhost", "ERL_EPMD_PORT": str(names),
               "RABBITMQ_DIST_PORT": str(free_port()), "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
               "RABBITMQ_LOG_BASE": str(home / "log"), "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
               "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"), "RABBITMQ_LOGS": "-",
               "RABBITMQ_CONF_ENV_FILE": str(home / "none")}
        # Its name server in the foreground, so that no daemon stays behind.
        self.processes.start("epmd", "epmd", "-port", names, "-address", "127.0.0.1", env={"HOME": str(home)})
        wait_until(lambda: port_is_open(names), what="epmd listening")
        self.process = self.processes.start("rabbitmq", self.LAUNCHER, env=env)
        wait_until(lambda: port_is_open(self.port), 90, "RabbitMQ's MQTT listener")
        return self
