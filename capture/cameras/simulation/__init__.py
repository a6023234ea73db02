"""The parts of the simulated camera: scene, motion, sensor, controls and faults."""
