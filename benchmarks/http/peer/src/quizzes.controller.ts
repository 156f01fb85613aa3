import { Body, Controller, Get, Param, ParseUUIDPipe, Post, UseGuards } from '@nestjs/common';
import { AuthGuard, UserId } from './auth.guard';
import { SubmitQuizDto } from './quizzes.dto';
import { QuizzesService } from './quizzes.service';

@Controller('quizzes')
export class QuizzesController {
  constructor(private readonly service: QuizzesService) {}

  @Get()
  list() {
    return this.service.list();
  }

  @Get(':id')
  show(@Param('id', ParseUUIDPipe) id: string) {
    return this.service.show(id);
  }

  @Post(':id/submit')
  @UseGuards(AuthGuard)
  submit(@Param('id', ParseUUIDPipe) id: string, @UserId() userId: string, @Body() body: SubmitQuizDto) {
    return this.service.submit(id, userId, body.answers);
  }
}
