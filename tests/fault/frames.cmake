waft_fault(frames
  TAKES 120
  ABOUT "giant, cut, amplifying, deep frames; a trace of 1M spans beside 100k small ones"
  TIMEOUT 1500
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/frames.py)
