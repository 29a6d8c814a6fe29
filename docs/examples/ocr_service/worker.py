"""Worker of the OCR service: takes an image from the queue, reads it, and sends the text to the reply queue.

Start as many workers as you need.
"""

import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def recognise(image):
    """Replace a real text recognition such as tesseract."""
    return image.decode().replace("#", " ").strip()


def on_image(channel, method, properties, body):
    reply = pika.BasicProperties(delivery_mode=2, correlation_id=properties.correlation_id)
    try:
        text = recognise(body)
    except ValueError:  # a retry would fail as well
        text = "(unreadable)"
    channel.basic_publish("", properties.reply_to, text.encode(), reply)
    channel.basic_ack(method.delivery_tag)


def main():
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()  # the result is confirmed before the image is acknowledged
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume("ocr.images", on_image)
        print("waiting for images", flush=True)
        channel.start_consuming()


if __name__ == "__main__":
    main()
