"""A ROS 2 node: fused frames as sensor_msgs/Image on /livemef/image: python ros2_node.py [ENDPOINT]. Needs rclpy."""

import sys

import rclpy
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

import livemef


def as_image(message: livemef.Message) -> Image:
    """The picture, stamped with the time of its newest frame."""
    header = message.header
    image = Image(height=header.height, width=header.width, encoding=header.encoding, is_bigendian=0)
    image.step = message.pixels[0].nbytes
    image.data.frombytes(message.pixels.tobytes())  # assigning bytes would check each one of them
    image.header.frame_id = header.frame_id
    image.header.stamp = Time(sec=header.timestamp_wall_ns // 10**9, nanosec=header.timestamp_wall_ns % 10**9)
    return image


def main(endpoint: str = "tcp://127.0.0.1:5556") -> None:
    """Receive and publish until Ctrl-C."""
    rclpy.init()
    node = Node("livemef")
    publisher = node.create_publisher(Image, "livemef/image", qos_profile_sensor_data)
    with livemef.subscribe(endpoint, timeout_s=60, newest=True) as messages:
        for message in messages:
            if not rclpy.ok():
                break
            publisher.publish(as_image(message))


if __name__ == "__main__":
    main(*sys.argv[1:])
