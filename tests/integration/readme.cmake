# What the README shows, tried.
add_executable(hello ${CMAKE_SOURCE_DIR}/docs/examples/hello.c)
target_link_libraries(hello PRIVATE waft::waft)
set_target_properties(hello PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/examples)
waft_integration_test(readme
  COMMAND ${WAFT_TESTS_DIR}/integration/readme.sh $<TARGET_FILE:hello>)
