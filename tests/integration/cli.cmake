# waftctl against stores without a collector, as people and scripts use it.
waft_integration_test(cli COMMAND ${WAFT_TESTS_DIR}/integration/cli.py)

# The example of docs/examples, with a collector and with a directory.
add_executable(example_first_trace ${CMAKE_SOURCE_DIR}/docs/examples/first_trace.c)
target_link_libraries(example_first_trace PRIVATE waft::waft waft::viewer)
waft_integration_test(cli_live COMMAND ${WAFT_TESTS_DIR}/integration/cli_live.py)

# Wrong command lines of every program.
if(TARGET waft-engined AND TARGET waft-decide AND TARGET waft-collectord AND TARGET waft-load)
  waft_integration_test(arguments
    COMMAND ${WAFT_TESTS_DIR}/integration/arguments.py)
endif()
