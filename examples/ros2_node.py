"""A ROS 2 node: fused frames on /livemef/image, settings as parameters: python ros2_node.py [ENDPOINT [CONTROL]]."""

import sys

import rclpy
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.utilities import remove_ros_args
from ros2_parameters import declare_settings
from sensor_msgs.msg import Image

import livemef


def as_image(frame: livemef.Message) -> Image:
    """The picture, stamped with the time of its newest frame."""
    header, stamp_ns = frame.header, frame.header.timestamp_wall_ns
    image = Image(height=header.height, width=header.width, encoding=header.encoding, step=frame.image[0].nbytes)
    image.data.frombytes(frame.image.tobytes())  # assigning bytes would check each one of them
    image.header.frame_id, image.header.stamp = header.frame_id, Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return image


def main(endpoint: str = "tcp://127.0.0.1:5556", control: str = "") -> None:
    """Receive and publish until Ctrl-C."""
    rclpy.init(args=sys.argv)
    node = Node("livemef")
    publisher = node.create_publisher(Image, "livemef/image", qos_profile_sensor_data)
    if control:
        declare_settings(node, livemef.control(control))
    with livemef.subscribe(endpoint, timeout_s=60, newest=True) as frames:
        while rclpy.ok():
            publisher.publish(as_image(next(frames)))
            rclpy.spin_once(node, timeout_sec=0)


if __name__ == "__main__":
    main(*remove_ros_args(sys.argv)[1:])
