# What the decision engine reads.
if(TARGET waft_engine)
  waft_fuzzer(engine waft_engine)
endif()
