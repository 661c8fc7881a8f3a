import requests
import json

# 使用Server-Sent Events格式接收流式响应
def chat_with_model(messages):
    url = "http://localhost:8000/api/chat"
    headers = {"Content-Type": "application/json"}
    data = {
        "messages": messages,
        "model": "gpt-3.5-turbo",  # 指定模型
        "temperature": 0.7         # 可选参数
    }
    
    response = requests.post(url, headers=headers, data=json.dumps(data), stream=True)
    
    for line in response.iter_lines():
        if line:
            line = line.decode('utf-8')
            if line.startswith('data: '):
                data = line[6:]  # 去掉'data: '前缀
                if data == "[DONE]":
                    break
                try:
                    content = json.loads(data)
                    if 'content' in content:
                        print(content['content'], end='', flush=True)
                except json.JSONDecodeError:
                    pass

# 示例调用
messages = [
    {"role": "user", "content": "你好，请介绍一下自己"}
]
chat_with_model(messages)
