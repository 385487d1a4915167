# The wire format against protoc.
add_executable(write_batch ${WAFT_TESTS_DIR}/integration/proto/write_batch.c)
target_link_libraries(write_batch PRIVATE waft_test_batches)
waft_integration_test(proto_decode COMMAND ${WAFT_TESTS_DIR}/integration/proto_decode.sh)
