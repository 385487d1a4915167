# waftctl against stores without a collector, as people and scripts use it.
waft_integration_test(cli COMMAND ${WAFT_TESTS_DIR}/integration/cli.py)
