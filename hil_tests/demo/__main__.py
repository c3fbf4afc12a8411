"""``python -m hil_tests.demo`` is ``scripts/demo`` without the environment's set-up."""

from hil_tests.demo.cli import main

main(prog_name="demo")
