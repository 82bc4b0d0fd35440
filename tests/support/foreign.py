"""A few values from a foreign MQTT client, and what the API gives of them."""
import paho.mqtt.client as paho

TOPIC = "uns/plant/t"


def publish(platform, numbers) -> None:
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="foreign")
    client.connect("127.0.0.1", platform.broker.port)
    client.loop_start()
    for i in numbers:
        client.publish(TOPIC, f'{{"value": {i}, "quality": "good"}}', qos=1).wait_for_publish(10)
    client.loop_stop()


def stored(api) -> list:
    question = {"tags": TOPIC, "from": "2020-01-01T00:00:00Z", "fn": "raw", "max_points": 1000}
    return api.get("/api/v1/history:query", params=question)["series"][0]["v"]
