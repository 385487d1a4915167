# What must not be seen: client/src/redact.c.
waft_unit_test(redact waft_static)
target_include_directories(test_redact PRIVATE ${CMAKE_SOURCE_DIR}/client/src)
waft_unit_test(redact_reference waft_static)
target_include_directories(test_redact_reference PRIVATE ${CMAKE_SOURCE_DIR}/client/src)
