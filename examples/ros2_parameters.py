"""The settings of a running livemef as parameters of a ROS 2 node: ros2 param set /livemef fusion.gamma 0.8."""

from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.node import Node

import livemef


def declare_settings(node: Node, control: livemef.Control) -> None:
    """Declare a parameter for each setting. What a launch file gives is set at once, a later value when it comes.

    A refused value leaves the parameter as it is, with the reason. Types are dynamic: gamma is a number or "adaptive".
    """
    keys, values = control.ask("GET", "/settings")["keys"], control.settings
    given = {}
    for key, value in values.items():
        descriptor = ParameterDescriptor(description=keys[key]["help"][:400], dynamic_typing=True)
        given[key] = _plain(node.declare_parameter(key, value, descriptor).value)
    control.set({key: value for key, value in given.items() if value != values[key]})

    def change(parameters: list) -> SetParametersResult:
        try:
            control.set({one.name: _plain(one.value) for one in parameters if one.name in keys})
        except livemef.ControlError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(change)


def _plain(value: object) -> object:
    return "off" if value is False else value  # YAML reads off as false
