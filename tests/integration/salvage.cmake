# Clients that are killed, and their memory; each function of test_salvage.py is one test.
add_executable(salvage_agent ${WAFT_TESTS_DIR}/integration/salvage/agent.c)
target_link_libraries(salvage_agent PRIVATE waft::waft Threads::Threads)
foreach(name killed fenced ps ps_threads list_running ps_terminal stopped_collector written_to
    killed_often killed_before_stop restart kept descriptors few_descriptors)
  waft_integration_test(salvage_${name}
    COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/integration/salvage/test_salvage.py ${name}
    TIMEOUT 120)
endforeach()
