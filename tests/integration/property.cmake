# The whole way with any order, split and fault.
add_executable(test_property ${WAFT_TESTS_DIR}/integration/test_property.c)
target_link_libraries(test_property PRIVATE waft_test_support waft_test_write waft_store)
waft_integration_test(property COMMAND test_property)
